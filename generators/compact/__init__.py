"""The generator this toolkit trains itself: network, training alone and with an encoder, quality."""
