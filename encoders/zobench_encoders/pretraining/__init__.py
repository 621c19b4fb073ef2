"""The pre-training of ``vit-mae``: masked autoencoding, film descriptions, then the alignment.

``recipe`` holds all settings, ``films`` makes the batches, ``targets`` the prediction targets and
``networks`` the decoder and heads. ``training`` runs the two stages with checkpoints and resume.
``alignment`` computes the last linear layer in closed form.
"""
