"""How ``vit-mae`` learned: masked autoencoding, then describing whole films.

``recipe`` holds every number, ``films`` feeds, ``targets`` says what is to be predicted,
``networks`` predicts it, ``training`` runs the two stages with checkpoints and resume.
"""
