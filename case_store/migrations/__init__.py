"""The schema's history. Run by ``Database.open``; every version is tested with data in it."""
