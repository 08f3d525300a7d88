"""The supernet: all candidate networks in one, sharing weights."""

from tas.supernet.supernet import Supernet

__all__ = ["Supernet"]
