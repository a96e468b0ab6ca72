"""What Nightshift is made of in an AWS account, as CDK constructs. Knows nightshift; nothing knows infra."""
