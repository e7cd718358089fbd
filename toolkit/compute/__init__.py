"""Where and how tensors are computed: device, precision, processes, memory."""
