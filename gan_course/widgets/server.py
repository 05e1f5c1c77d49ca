"""A Jupyter server that answers sliders sooner: `make lab` starts JupyterLab with it."""

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class Promptly(ZMQChannelsWebsocketConnection):
    """The way from kernels to the browser, each message sent at once (TCP_NODELAY).

    TCP keeps a small message back until the browser has confirmed the one before it (Nagle, RFC 896), and a browser that has
    nothing to say confirms after up to 40 ms. After a change of a slider the kernel's 'I am busy' went out, and the
    picture waited. benchmarks/README.md has the numbers.
    """

    def connect(self):
        self.websocket_handler.set_nodelay(True)
        return super().connect()
