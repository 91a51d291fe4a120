#!/bin/sh
# Put the broker's files together, then run it: start.sh HOME [PORT [ADDRESS [TLS_PORT]]].
# HOME/data holds the persistence and the devices that device.sh added; the hashes of all passwords live there too,
# readable by the broker only. With certificates beside this script (see certificates.sh) there is a TLS listener.
set -eu
home=$1
port=${2:-1883}
address=${3:-0.0.0.0}
tls_port=${4:-8883}
here=$(dirname "$0")
certs=${MQTT_CERTS:-$here/certs}
data=$home/data
mkdir -p "$data"
umask 077

# The passwords come over standard input and files only: an argument stands in the list of processes.
passwords=$data/passwords
printf 'h2twin:%s\n' "$MQTT_PASSWORD" > "$passwords"
for pair in ${MQTT_GATEWAYS:-}; do
  printf '%s\n' "$pair" >> "$passwords"
done
mosquitto_passwd -U "$passwords"
if [ -f "$data/devices" ]; then cat "$data/devices" >> "$passwords"; fi

cp "$here/acl" "$data/acl"
fill() { sed -e "s|@DATA@|$data|" -e "s|@PORT@|$port|" -e "s|@ADDRESS@|$address|" -e "s|@TLS_PORT@|$tls_port|" "$1"; }
fill "$here/mosquitto.conf" > "$data/mosquitto.conf"
if [ -f "$certs/server.crt" ]; then
  mkdir -p "$data/certs"
  cp "$certs/ca.crt" "$certs/server.crt" "$certs/server.key" "$data/certs/"
  fill "$here/tls.conf" >> "$data/mosquitto.conf"
fi
if [ "$(id -u)" = 0 ]; then chown -R mosquitto: "$data"; fi
echo $$ > "$data/pid"
exec mosquitto -c "$data/mosquitto.conf"
