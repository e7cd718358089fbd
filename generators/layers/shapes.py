"""Names and shapes of the entries that torch's own layers have in a state dict."""

Shapes = dict[str, tuple[int, ...]]


def layer_shapes(name: str, weight: tuple[int, ...]) -> Shapes:
    """Return name -> shape of a layer with a weight (out, in, ...) and a bias (out,)."""
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def norm_shapes(name: str, channels: int) -> Shapes:
    """Return name -> shape of an affine batch norm of so many channels, its statistics and their count included."""
    size = (channels,)
    statistics: Shapes = {f"{name}.running_mean": size, f"{name}.running_var": size, f"{name}.num_batches_tracked": ()}
    return layer_shapes(name, size) | statistics
