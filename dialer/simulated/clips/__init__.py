"""Speech for the simulated people and phones, made by ``make_clips.py`` with espeak-ng and sox."""
