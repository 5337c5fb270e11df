"""What is checked before a release; ``python -m mammo.tools.release``. It measures nothing and no user needs it."""
