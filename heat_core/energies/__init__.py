"""Energies: functions E: R^d -> R, large where data is rare. They add, and divide by a temperature."""
