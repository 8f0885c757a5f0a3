"""`relay bench`: what the relay costs and how late it is, against the number of streams, beside its peers.

Three processes of their own: publishers that send a coded clip, the system under test, a sink that notes what arrives.
`run` puts them together, once for each system, sender and number of streams.
"""
