defmodule Sidewinder.Channel.Discovery do
  @moduledoc """
  From endpoints, which people write, to addresses, which can be connected to.

  A path, a host and a port are one address each. `{:dns, host, port}` is as many as the name has A and AAAA records,
  `{:srv, name}` as many as its SRV records of the best priority name, each with its own port. Either may have TLS options
  behind it. Names change: they are asked again every so often, and whenever a connection is lost.

  An answer that says nothing (a resolver that is down, a name with no records) changes nothing: addresses that are known
  are better than none. Weights of SRV records are not looked at; calls go where the fewest are.
  """

  alias Sidewinder.Connection.Socket

  # Addresses of one name.
  @addresses_max 64
  # Milliseconds for one question.
  @patience 3_000

  @type endpoint ::
          {:unix, Path.t()}
          | {:tcp, Socket.host(), Socket.port_number()}
          | {:tls, Socket.host(), Socket.port_number(), keyword}
          | {:dns, String.t(), Socket.port_number()}
          | {:dns, String.t(), Socket.port_number(), keyword}
          | {:srv, String.t()}
          | {:srv, String.t(), keyword}

  @doc "Whether an endpoint is a name whose addresses may change."
  @spec name?(endpoint) :: boolean
  def name?(endpoint), do: elem(endpoint, 0) in [:dns, :srv]

  @doc "Its addresses, or why there are none. `opts` are those of `:inet_res`, such as `nameservers`."
  @spec addresses(endpoint, keyword) :: {:ok, [Socket.address()]} | {:error, String.t()}
  def addresses({:dns, host, port}, opts), do: named(host, port, nil, opts)
  def addresses({:dns, host, port, tls}, opts), do: named(host, port, tls, opts)
  def addresses({:srv, name}, opts), do: services(name, nil, opts)
  def addresses({:srv, name, tls}, opts), do: services(name, tls, opts)
  def addresses(address, _), do: {:ok, [address]}

  defp named(host, port, tls, opts) do
    found =
      case :inet.parse_address(String.to_charlist(host)) do
        {:ok, address} -> [address]
        {:error, _} -> look(host, opts)
      end

    case found |> Enum.uniq() |> Enum.sort() |> Enum.take(@addresses_max) do
      [] -> {:error, "#{host} has no address"}
      found -> {:ok, Enum.map(found, &address(&1, port, host, tls))}
    end
  end

  # Without nameservers of its own, the way of the machine: its files count, too.
  defp look(host, []) do
    name = String.to_charlist(host)

    Enum.flat_map([:inet, :inet6], fn family ->
      case :inet.getaddrs(name, family, @patience) do
        {:ok, found} -> Enum.reject(found, &mapped?/1)
        {:error, _} -> []
      end
    end)
  end

  defp look(host, opts), do: Enum.flat_map([:a, :aaaa], &records(host, &1, opts))

  defp mapped?({0, 0, 0, 0, 0, 0xFFFF, _, _}), do: true
  defp mapped?(_), do: false

  defp services(name, tls, opts) do
    found = records(name, :srv, opts)
    best = found |> Enum.map(&elem(&1, 0)) |> Enum.min(fn -> nil end)

    addresses =
      for {^best, _, port, target} <- found,
          {:ok, addresses} <- [named(List.to_string(target), port, tls, opts)],
          address <- addresses,
          do: address

    case Enum.take(Enum.uniq(addresses), @addresses_max) do
      [] -> {:error, "#{name} has no service with an address"}
      addresses -> {:ok, addresses}
    end
  end

  defp records(name, kind, opts),
    do: :inet_res.lookup(String.to_charlist(name), :in, kind, opts, @patience)

  defp address(ip, port, _, nil), do: {:tcp, ip, port}

  # The certificate is that of the name, whatever its address.
  defp address(ip, port, host, tls),
    do: {:tls, ip, port, Keyword.put_new(tls, :server_name_indication, String.to_charlist(host))}
end
