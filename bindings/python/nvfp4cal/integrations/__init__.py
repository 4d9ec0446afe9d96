"""Drop-in use of nvfp4cal inside the calibration frameworks.

    import nvfp4cal.integrations.modelopt as on_cpu
    on_cpu.install()            # mtq.quantize, the forward pass and the export now run on a CPU

Nothing here imports a framework before ``install()`` is called. docs/integrations.md says what is put where.
"""
