"""How ``vit-mae`` learned: masked autoencoding, describing whole films, then one map in closed form.

``recipe`` holds every number, ``films`` feeds, ``targets`` says what is to be predicted,
``networks`` predicts it, ``training`` runs the two stages with checkpoints and resume,
``alignment`` is the map.
"""
