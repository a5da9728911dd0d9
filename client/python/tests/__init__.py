"""Tests of the Python client: python3 -m unittest discover -s client/python/tests -t client/python"""
