"""The trackers that come with zobench, one module per tracker."""
