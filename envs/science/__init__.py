"""Scientific computing: simulation, fitting, integration, spectra."""
