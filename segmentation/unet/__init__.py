"""The U-Net and its training on synthetic pairs."""
