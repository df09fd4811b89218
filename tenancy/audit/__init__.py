"""The audit trail: who did what, to what, in which tenant, and how it ended. Kept in the control plane."""
