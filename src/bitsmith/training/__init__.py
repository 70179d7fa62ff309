"""What needs gradients. PyTorch is imported where a function runs, never before: it comes with the extra `torch`."""
