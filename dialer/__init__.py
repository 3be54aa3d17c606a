"""Placing calls: policy, pacing, sweep, engines, media, floor."""
