"""boto3 and nothing else: the same calls go to AWS or to the local SageMaker.

``session.open_cloud`` decides which; everything here takes the ``Cloud`` it returns.
"""
