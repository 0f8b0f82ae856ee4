"""CRIU's messages: our `.proto` files, and the code that `python -m engine.images.generate` makes of them."""
