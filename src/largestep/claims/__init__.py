"""The paper's claims as statistics that can refuse them; one module per claim, `verdict` holds what they share."""
