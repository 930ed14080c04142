"""Shared inside this project: noise, argument checks, whole files. No promise to anyone else."""
