module serin/tests/cluster/istio

go 1.26.0

tool istio.io/istio/pilot/cmd/pilot-discovery

require istio.io/istio v0.0.0-20260827124520-eed52ebb66ad
