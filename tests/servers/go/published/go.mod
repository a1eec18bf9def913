// What tests/servers/published.py fetches: only the test data of these modules are read, nothing is built.
module alma.test/published

go 1.24

require (
	github.com/zegl/kube-score v1.20.0
	k8s.io/pod-security-admission v0.34.2
)
