"""The fault campaign: what breaks in practice is done to real processes on small phantoms. What is lost by it?"""
