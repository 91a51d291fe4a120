"""What-if runs of the supply model."""
