"""Latent space: ways between latent vectors. (Later lessons add axes and projection.)"""
