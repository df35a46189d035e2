"""Who comes in, and what each may do: nothing is open but what is listed as open (``gate.OPEN``)."""
