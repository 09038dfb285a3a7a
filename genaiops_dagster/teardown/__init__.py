"""What a use case has left on Google Cloud that costs money, and removing it."""
