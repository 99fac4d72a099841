"""The recipe of the demo models: texts, speech, training, measurement."""
