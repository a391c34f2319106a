"""How training steps scale past the machine at hand: measure, fit a cost model, predict."""
