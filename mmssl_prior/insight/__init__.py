"""What a model clustered, and which prior fits the data."""

__all__: list[str] = []
