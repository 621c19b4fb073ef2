"""How ``vit-mae`` learned: masked autoencoding, describing whole films, hardening findings.

``recipe`` holds every number, ``films`` feeds, ``targets`` says what is to be predicted,
``networks`` predicts it, ``training`` runs the three stages with checkpoints and resume.
"""
