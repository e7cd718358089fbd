"""The papers' way: a deformator trained together with a shift reconstructor."""
