"""What breaks papers, looked for before training: python -m training.audit training/recipes/digits.toml"""
