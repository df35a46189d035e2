"""The bus: MQTT between the parts of a deployment (docs/mqtt.md). Begin with ``topics``, then ``envelope``, ``client``.

A message wakes or reports. The tables of the database decide: a lost, doubled or late message costs time only.
"""
