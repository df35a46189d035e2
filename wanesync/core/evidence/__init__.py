"""What answers and events show: absence, a write that did not take, an edit that a write of ours buried."""
