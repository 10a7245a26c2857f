"""The leak step: does a feature know what nobody could have known at its time?"""
