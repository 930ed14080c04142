"""The mathematics that variables and estimators share. No names are public here."""
