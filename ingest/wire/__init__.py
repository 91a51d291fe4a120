"""MQTT on the wire, for the one subscriber that takes everything in.

`packets` says how packets look (no input or output in there), `reading` takes them out of a stream of bytes,
`connection` keeps one connection to a broker. It speaks MQTT 5 and 3.1.1, takes QoS 0 and 1 and publishes with QoS 0;
everything else in h2twin uses paho.
"""
