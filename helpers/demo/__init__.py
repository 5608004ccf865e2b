"""Ten photos to a gallery of avatars, end to end through the local SageMaker."""
