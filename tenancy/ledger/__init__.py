"""What was done to the fleet: a run, and in it an entry for each tenant. Kept in the control plane."""
