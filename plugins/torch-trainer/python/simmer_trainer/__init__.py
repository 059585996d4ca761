"""Simmer's trainer: a thin server of simmer.trainer.v1 around transformers, TRL and PEFT."""

__version__ = "0.1.0"
