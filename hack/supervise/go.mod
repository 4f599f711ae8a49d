// What the server programs in hack/mongodb, hack/feed and hack/envtest share. A module of its own, without
// requirements, so that the versions those pin do not depend on the operator's.
module github.com/mongolock/operator/hack/supervise

go 1.26.0
