#!/bin/sh
# Write the password file from the environment, then run the broker: start.sh HOME [PORT [ADDRESS]].
# HOME/data holds the persistence; the secrets' hashes live in HOME/data too, readable by the broker only.
set -eu
home=$1
port=${2:-1883}
address=${3:-0.0.0.0}
here=$(dirname "$0")
data=$home/data
mkdir -p "$data"
umask 077
passwords=$data/passwords
: > "$passwords"
mosquitto_passwd -b "$passwords" h2twin "$MQTT_PASSWORD"
for pair in ${MQTT_GATEWAYS:-}; do
  mosquitto_passwd -b "$passwords" "${pair%%:*}" "${pair#*:}"
done
cp "$here/acl" "$data/acl"
sed -e "s|@DATA@|$data|" -e "s|@PORT@|$port|" -e "s|@ADDRESS@|$address|" "$here/mosquitto.conf" > "$data/mosquitto.conf"
if [ "$(id -u)" = 0 ]; then chown -R mosquitto: "$data"; fi
exec mosquitto -c "$data/mosquitto.conf"
